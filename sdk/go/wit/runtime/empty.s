// With this file in it a package may declare functions that are defined elsewhere.
