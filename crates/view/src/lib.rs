//! A run folder in, pages on loopback out: its episodes, to be filtered, read and compared.
//! Reads only; knows no model and no trainer, and how tokens become text is an argument.
