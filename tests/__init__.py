"""Tests of the whole: a name of its own for each folder, docker is a library as well."""
