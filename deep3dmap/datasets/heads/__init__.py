"""Heads: their landmarks, and the heads of the ICT face model."""
