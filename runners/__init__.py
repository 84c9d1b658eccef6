"""One Bento service per model: rows in, response coefficients out."""
