//! What the behaviours share: a repository in a temporary folder and the program run on it.
