//! Reading the cluster file: schema, positions, every problem at once.
