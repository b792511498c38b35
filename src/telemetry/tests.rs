//! Tests of the metrics as a scraper sees them.
