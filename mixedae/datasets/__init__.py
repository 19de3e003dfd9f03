"""The built-in mini benchmark, and what the libraries' datasets lack: checks and fingerprints of data on disk."""
