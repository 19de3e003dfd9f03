"""The built-in mini benchmark, and what the libraries' datasets lack: held-out splits, checks and fingerprints."""
