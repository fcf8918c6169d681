"""What runs inside of every image; `frames` is also the node's side of it."""
