"""What those who watch the broker are told: figures, never contents."""
