// Every number that was chosen by measurement, or as a budget: how much work pays for a thread,
// what waiting costs, how much memory stays in which cache. Work and waiting are counted in cycles
// of one core, memory in bytes. Each group names the record of its measurements. No result depends
// on any of them (numerics.hpp has those of which results are made), so they may change with the
// machines. What follows from the registers of an instruction set stands where it is used.
#pragma once

#include <chrono>
#include <cstddef>

namespace pyrnn::tuning {

using Count = std::ptrdiff_t;
using Cycles = std::ptrdiff_t;
using Bytes = std::ptrdiff_t;

// What a core does in some cycles: multiply-adds of float32 on AVX-512, where the grains below were
// measured; numbers that are copied; exponentials. Internal, as instruction sets share no symbols.
static constexpr Count multiply_adds(Cycles cycles) { return cycles * 32; }
static constexpr Count copied_numbers(Cycles cycles) { return cycles * 2; }
static constexpr Count exponentials(Cycles cycles) { return cycles / 2; }
constexpr Count products_of_a_copy = multiply_adds(1) / copied_numbers(1);
constexpr Count products_of_an_exponential = multiply_adds(2) / exponentials(2);

// Grains: the least work that pays for one more thread, each in numbers or multiply-adds.
// docs/tuning/packing.md, docs/tuning/overhead.md
constexpr Count copy_grain = copied_numbers(32'768);
constexpr Count pack_grain = copied_numbers(4'096);    // of weights
constexpr Count choose_grain = copied_numbers(2'048);  // columns of weights, which lie far apart
constexpr Count add_grain = copied_numbers(8'192);     // sums of arrays
constexpr Count optimizer_grain = copied_numbers(20'000);
constexpr Count softmax_grain = exponentials(32'000);
constexpr Count product_grain = multiply_adds(12'500);  // whose weights are packed on the way
constexpr Count packed_product_grain = multiply_adds(31'250);  // whose weights are packed already
constexpr Count outer_product_grain = multiply_adds(6'250);    // sums over rows
constexpr Count window_grain = multiply_adds(6'250);           // one lag of all truncated windows

// The plan's costs of threads, in cycles: of the end of a phase, of waking a team, each with so
// much for every thread beyond the second; of handing work over to a thread that may have to wake
// and has none of it in its cache; and the least work of a stream's step that pays for one more
// thread. docs/tuning/threads.md
constexpr double phase_cost(int threads) { return 3'000 + 150.0 * (threads - 2); }
constexpr double team_cost(int threads) { return 15'000 + 3'000.0 * (threads - 2); }
constexpr double handing_cost = 60'000;
constexpr double stream_grain = 40'000;
// A plan with more threads must take at most this share of the time; and handing half of some rows
// over must save at least this share of their steps. docs/tuning/sharing-work.md
constexpr double plan_margin = 0.95, least_saving = 0.25;

// How long a thread spins before it sleeps: while another computes a part, and between two calls.
// docs/tuning/threads.md
constexpr auto spin_for_part = std::chrono::microseconds(20);
constexpr auto spin_for_job = std::chrono::microseconds(100);
// Looks before the clock is read for the first time, and between two times after that.
constexpr int looks_before_clock = 64, looks_between_clocks = 16;
// Where the system refuses a thread, how long until the next try: each takes time.
constexpr auto between_thread_tries = std::chrono::milliseconds(100);

// Threads lend each other cores, and keep those they wake off their own, where the program may run
// on so many processors at most. docs/tuning/threads.md
constexpr int most_placed_processors = 2;

// The plan's costs of a step: bytes of weights that a core reads in a cycle, by the cache that
// holds them all, and cycles of the pointwise arithmetic for each vector of a slot.
// docs/tuning/blocks.md
constexpr double near_weights = 24e3, far_weights = 1e6;
constexpr double near_bytes_a_cycle = 64, bytes_a_cycle = 32, far_bytes_a_cycle = 10;
constexpr double pointwise_cycles = 30;

// Weights of this size stay in L2 beside what is multiplied with them. docs/tuning/blocks.md
constexpr Bytes l2_weights = 1536 * 1024;

// Products take so many bytes of a panel at once: where all weights stay in L2, by the registers
// that an instruction set has; where they come from beyond it; and so many rows before the next
// panel. Tiles are tall where k is so many times as long as there are rows. Of weights between
// these two sizes, one row takes half of what fills the registers. docs/tuning/blocks.md,
// docs/tuning/tiles-avx2.md, docs/tuning/weight-order.md
constexpr Bytes near_block_bytes = 32 * 1024, near_block_bytes_avx2 = 64 * 1024;
constexpr Bytes near_block_bytes_16_registers = 20 * 1024, far_block_bytes = 256 * 1024;
constexpr Count rows_of_block = 192, tall_tile_k = 8;
constexpr Bytes l1_weights = 40 * 1024, few_times_l1 = 192 * 1024;

// The forward pass takes so many bytes of pre-activations at once, which stay in L2 between the
// product with x and the steps: few where the weights stay there as well. docs/tuning/blocks.md
constexpr Bytes stretch_bytes = 128 * 1024, far_stretch_bytes = 768 * 1024;
constexpr Count least_stretch_rows = 64;

// The backward pass sums the gradients of the weights over so many rows of a slice at once; in
// pieces, of which a thread gets so many at most, each of so many columns of pre-activations at
// least. dx is made of so many rows at once at least. docs/tuning/sharing-work.md
constexpr Count summed_rows = 512;
constexpr int pieces_of_a_thread = 2;
constexpr Count piece_columns = 256;
constexpr Count input_rows = 64;

// Where one thread runs through time alone and a second one sums behind it, the sequence is cut
// into so many stretches, each of so many rows at least. docs/tuning/sharing-work.md
constexpr Count stretches_behind = 8, least_rows_behind = 64;

// Indices choose few columns of a weight where there are so many columns for each: those are packed
// alone. docs/tuning/packing.md
constexpr Count columns_an_index = 4;

// Linear layers. Packing weights takes as long as the products of so many rows, reading what is
// packed as those of fewer; fetching a row of x as the products of so many columns; packing x for a
// sum over rows as summing so many columns. docs/tuning/packing.md
constexpr Count packing_rows = 32, reading_rows = 8, fetching_columns = 20, packing_columns = 32;
// Bytes of weights that are packed at once, for up to so many rows and for more.
constexpr Count few_rows = 64;
constexpr Bytes bytes_for_few_rows = 64 * 1024, bytes_for_many_rows = 16 * 1024 * 1024;

// Streams. Threads share the sequences where each gets so many at least, else the units. A thread
// takes sequences whose pre-activations have so many bytes at once, and panels whose weights have
// so many, but so many panels at least. docs/tuning/weight-order.md
constexpr Count least_stream_rows = 16;
constexpr Bytes stream_block_bytes = 192 * 1024, stream_weight_bytes = 512 * 1024;
constexpr Count least_stream_panels = 2;

// A piece: the multiply-adds between two looks at whether the call is to end; more where each piece
// packs something anew. docs/tuning/threads.md
constexpr Count piece_products = multiply_adds(8'388'608);
constexpr Count packing_piece_products = multiply_adds(33'554'432);
constexpr Count stream_piece_panels = 64;  // times those of a stream above
constexpr Count most_pieces = 65'536;
constexpr auto between_looks = std::chrono::milliseconds(1);
constexpr int most_steps_between_looks = 1'048'576;
// How often Python is asked for signals.
constexpr auto question_interval = std::chrono::milliseconds(40);

// Gradients of weights. The vectors of a panel of B, at most; columns of A that are packed at a
// time, unless one panel has more; rows of A fetched ahead. docs/tuning/weight-gradients.md
constexpr Count outer_panel_vectors = 3, outer_columns = 128, outer_rows_ahead = 16;
// Rows that are packed at a time, each read from front to back. docs/tuning/packing.md
constexpr Count packed_rows = 16;

// Layers over windows of time. Channels whose sums stay in registers or L1; of fewer channels than
// the second number, several rows count as one; outputs of a channel alone that are summed at once.
// docs/tuning/small-trials.md#budgets
constexpr Count norm_channels = 64, least_channels = 64;
constexpr int depthwise_rows = 4;

// Whole numbers of a row of x that stay on the stack. docs/tuning/small-trials.md#budgets
constexpr Bytes int8_row_bytes = 8192;

// Memory kept between calls: of large blocks so many bytes for good, and what was used beyond them
// for a while after its last use; of small ones so many bytes. docs/tuning/memory.md
constexpr Bytes always_kept = 16 * 1024 * 1024, most_small_kept = 1024 * 1024;
constexpr auto kept_for = std::chrono::seconds(3);
constexpr Bytes large_block = 32 * 1024, large_page = 2 * 1024 * 1024;

// Calls of one step. Those of more sequences take longer than what a stream of their own saves; so
// many streams are kept by a layer. A step of fewer units by units keeps the interpreter. Of
// smaller arrays NumPy keeps the memory itself. docs/tuning/overhead.md
constexpr Count most_one_step_sequences = 64, most_idle_streams = 8, short_step_products = 20'000;
constexpr Bytes least_own_array = 32 * 1024;

}  // namespace pyrnn::tuning
