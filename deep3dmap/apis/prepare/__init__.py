"""Making data: signed-distance samples, heads, captures, landmarks, priors."""
