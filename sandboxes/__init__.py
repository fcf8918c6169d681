"""Where risky tools run: a service that alone holds the engine, and knows nothing of broker."""
