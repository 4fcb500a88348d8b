"""What the engine talks about: frozen values, errors, state tables. No I/O."""
