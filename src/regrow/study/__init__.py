"""Studies: recipe -> plan -> runs -> what the report reads; the run store and the engines."""
