//! Every key of the table, in every context it holds in, does what the table says.
