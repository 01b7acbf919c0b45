"""What types of transfer do: which layers learn when, features that hide their domain, how transfer is judged."""
