"""One task each: text -> rows -> arrays -> answer."""
