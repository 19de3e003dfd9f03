"""The built-in data set: drawn shapes and scenes."""
