// Every number that is part of the arithmetic: where sums over rows are cut, how whole numbers are
// summed. Other numbers give other bits, so a change of any of them raises `version`. None depends
// on the machine, the instruction set or the number of threads. Of units, `block_units`
// (kernel_table/rows.hpp) is one more. Why they are what they are: docs/tuning/weight-gradients.md,
// docs/tuning/slices.md.
#pragma once

#include <cstddef>

namespace pyrnn::numerics {

// The version of the arithmetic: raised whenever a change of the core changes a bit of a result.
constexpr int version = 4;

// A sum over rows is one chain of multiply-adds, or additions, over so many rows at most, a block;
// the sums of so many blocks, a bundle, are added up; then they are added to the total, with what
// these additions lose.
constexpr std::ptrdiff_t sum_block = 512, blocks_together = 16;
// What is lost of an embedding's gradients is added to them after so many rows: it is a sum too,
// and must not become large.
constexpr std::ptrdiff_t settled_rows = 8 * sum_block * blocks_together;

// Bands of sequences, each with sums of its own (`band_count`): their number, a power of two; how
// large the sums of one may be, in bytes; how many sequences each has at least, of two bands and of
// more; and how much more numbers must be saved for the backward pass than the sums have: where few
// bytes are saved, and where so many are that memory matters.
constexpr int most_bands = 8;
constexpr std::ptrdiff_t most_band_bytes = 1536 * 1024;
constexpr std::ptrdiff_t least_rows_of_two_bands = 4, least_rows_of_bands = 8;
constexpr std::ptrdiff_t much_saved_bytes = 8 * 1024 * 1024;
constexpr std::ptrdiff_t saved_to_sums = 12, much_saved_to_sums = 100;

// The norm of all gradients: so many sums side by side of each block of so many squares, then the
// blocks' sums in their order.
constexpr std::ptrdiff_t squares_side_by_side = 32, squares_of_block = 8192;

}  // namespace pyrnn::numerics
