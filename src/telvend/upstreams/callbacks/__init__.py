"""Callbacks: what providers post to us of their own accord. Each only brings the next question to the provider forward."""
