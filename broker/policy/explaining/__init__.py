"""Why a policy says what it says of a question, and what would have to differ."""
