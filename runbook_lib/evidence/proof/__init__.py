"""The evidence of format 15: sealed from lines, and proven by folding the lines again."""
