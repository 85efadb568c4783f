"""Cost against work of every method, and comparisons of methods on many scenes."""
