"""Memory: rows are the truth, blobs are written once.

Functions take the session first and never commit; the view or the task commits, once, at the edge.
"""
