"""Formats that store a number in fewer bits than float32: bfloat16, float16 and int8."""
