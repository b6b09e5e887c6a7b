//! A run folder in, a frame of the terminal out: how a run stands, drawn while it goes on.
//! Reads what a run writes and knows no trainer; keys and the terminal itself are the binary's.
