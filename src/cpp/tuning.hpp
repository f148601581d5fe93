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

// How much a core does in some cycles: multiply-adds of float32 on AVX-512, on which the grains
// below were measured; copied numbers; exponentials. Internal, because instruction sets share no
// symbols.
static constexpr Count multiply_adds(Cycles cycles) { return cycles * 32; }
static constexpr Count copied_numbers(Cycles cycles) { return cycles * 2; }
static constexpr Count exponentials(Cycles cycles) { return cycles / 2; }
// Where numbers are far away in memory, or their pages are not there yet; for `piece_products`.
constexpr Count products_of_a_copy = multiply_adds(16) / copied_numbers(1);
constexpr Count products_of_an_exponential = multiply_adds(2) / exponentials(2);

// Grains: the least work for which one more thread is worth its cost, in numbers or multiply-adds.
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

// The plan's costs of threads, in cycles: the end of a phase and the start of a team, each of which
// grows with every thread beyond the second; handing work over to a thread that may be asleep and
// has nothing of it in its cache; and the least work of a stream's step for which one more thread
// is worth its cost. docs/tuning/threads.md
constexpr double phase_cost(int threads) { return 3'000 + 150.0 * (threads - 2); }
constexpr double team_cost(int threads) { return 15'000 + 3'000.0 * (threads - 2); }
constexpr double handing_cost = 60'000;
constexpr double stream_grain = 40'000;
// A plan with more threads must take at most `plan_margin` of the time; and handing over half of
// some rows must save at least `least_saving` of their steps. docs/tuning/sharing-work.md
constexpr double plan_margin = 0.95, least_saving = 0.25;

// How long a thread spins before it sleeps: while another computes a part, and between two calls.
// docs/tuning/threads.md
constexpr auto spin_for_part = std::chrono::microseconds(20);
constexpr auto spin_for_job = std::chrono::microseconds(100);
// Looks before the clock is read for the first time, and between two times after that.
constexpr int looks_before_clock = 64, looks_between_clocks = 16;
// How long to wait after the system has refused to start a thread: each try takes time.
constexpr auto between_thread_tries = std::chrono::milliseconds(100);

// A waiting thread moves a worker to its own core, and keeps workers off it while they wake, only
// if the program may run on at most this many processors. docs/tuning/threads.md
constexpr int most_placed_processors = 2;

// The plan's costs of a step: how many bytes of weights a core reads per cycle, if they are at most
// `near_weights` bytes, at most `far_weights`, or more; and the cycles of the pointwise arithmetic
// for each vector of a slot.
// docs/tuning/blocks.md
constexpr double near_weights = 24e3, far_weights = 1e6;
constexpr double near_bytes_a_cycle = 64, bytes_a_cycle = 32, far_bytes_a_cycle = 10;
constexpr double pointwise_cycles = 30;

// Weights up to this size stay in L2, together with the rows they are multiplied with.
// docs/tuning/blocks.md
constexpr Bytes l2_weights = 1536 * 1024;

// Blocks of a product. How many bytes of a panel are used before the next block: `near_block_bytes`
// if all weights stay in L2 (other numbers on instruction sets with 16 registers), and
// `far_block_bytes` if they do not. After `rows_of_block` rows comes the next panel. Tiles are tall
// if k is at least `tall_tile_k` times the number of rows. If the weights have between `l1_weights`
// and `few_times_l1` bytes, a single row takes half as many panels at once as fill the registers.
// docs/tuning/blocks.md, docs/tuning/tiles-avx2.md, docs/tuning/weight-order.md
constexpr Bytes near_block_bytes = 32 * 1024, near_block_bytes_avx2 = 64 * 1024;
constexpr Bytes near_block_bytes_16_registers = 20 * 1024, far_block_bytes = 256 * 1024;
constexpr Count rows_of_block = 192, tall_tile_k = 8;
constexpr Bytes l1_weights = 40 * 1024, few_times_l1 = 192 * 1024;

// How many bytes of pre-activations the forward pass computes from x at once. They stay in L2 until
// the steps use them: fewer if the weights stay in L2 as well. docs/tuning/blocks.md
constexpr Bytes stretch_bytes = 128 * 1024, far_stretch_bytes = 768 * 1024;
constexpr Count least_stretch_rows = 64;

// Sums in the backward pass. The gradients of the weights are summed over `summed_rows` rows of a
// slice at once, in pieces: at most `pieces_of_a_thread` per thread, each of at least
// `piece_columns` columns of pre-activations. dx is computed for at least `input_rows` rows at
// once. docs/tuning/sharing-work.md
constexpr Count summed_rows = 512;
constexpr int pieces_of_a_thread = 2;
constexpr Count piece_columns = 256;
constexpr Count input_rows = 64;

// If one thread computes all time steps and a second one the sums, the sequence is cut into
// `stretches_behind` stretches, each of at least `least_rows_behind` rows.
// docs/tuning/sharing-work.md
constexpr Count stretches_behind = 8, least_rows_behind = 64;

// If a weight has at least this many columns per index, only the columns that the indices choose
// are packed. docs/tuning/packing.md
constexpr Count columns_an_index = 4;

// Linear layers. Packing weights takes as long as the products of `packing_rows` rows, reading
// packed weights as those of `reading_rows`; fetching a row of x takes as long as the products of
// `fetching_columns` columns; packing x for a sum over rows as summing `packing_columns` columns.
// docs/tuning/packing.md
constexpr Count packing_rows = 32, reading_rows = 8, fetching_columns = 20, packing_columns = 32;
// Bytes of weights that are packed at once, for up to `few_rows` rows and for more.
constexpr Count few_rows = 64;
constexpr Bytes bytes_for_few_rows = 64 * 1024, bytes_for_many_rows = 16 * 1024 * 1024;

// Streams. Sequences are split among threads if each gets at least `least_stream_rows`; otherwise
// units are. A thread takes at once as many sequences as have `stream_block_bytes` of
// pre-activations, and as many panels as have `stream_weight_bytes` of weights, but at least
// `least_stream_panels`. docs/tuning/weight-order.md
constexpr Count least_stream_rows = 16;
constexpr Bytes stream_block_bytes = 192 * 1024, stream_weight_bytes = 512 * 1024;
constexpr Count least_stream_panels = 2;

// A piece: the multiply-adds between two checks whether the call should end; more if each piece
// packs something again. docs/tuning/threads.md
constexpr Count piece_products = multiply_adds(8'388'608);
constexpr Count packing_piece_products = multiply_adds(33'554'432);
constexpr Count stream_piece_panels = 64;  // times those of a stream above
constexpr Count copy_piece = 1'048'576;    // numbers that NumPy copies
// A row that is far from the next one: its page may have to be made, of as much as 2 MB.
constexpr Count products_of_a_far_row = multiply_adds(8'192);
constexpr Count most_pieces = 65'536;
constexpr auto between_looks = std::chrono::milliseconds(1);
constexpr int most_steps_between_looks = 1'048'576;
// How often Python is asked for signals.
constexpr auto question_interval = std::chrono::milliseconds(40);

// Gradients of weights: the most vectors of a panel of B; how many columns of A are packed at a
// time (unless one panel has more); how many rows of A are prefetched.
// docs/tuning/weight-gradients.md
constexpr Count outer_panel_vectors = 3, outer_columns = 128, outer_rows_ahead = 16;
// Rows that are packed at a time, each read from front to back. docs/tuning/packing.md
constexpr Count packed_rows = 16;

// Layers over windows of time: the number of channels whose sums stay in registers or L1; with
// fewer than `least_channels`, several rows count as one; and how many outputs of a depthwise
// convolution are summed at once. docs/tuning/small-trials.md#budgets
constexpr Count norm_channels = 64, least_channels = 64;
constexpr int depthwise_rows = 4;

// Whole numbers of a row of x that stay on the stack. docs/tuning/small-trials.md#budgets
constexpr Bytes int8_row_bytes = 8192;

// Memory kept between calls: `always_kept` bytes of large blocks permanently, the rest for
// `kept_for` after its last use; and `most_small_kept` bytes of small blocks. docs/tuning/memory.md
constexpr Bytes always_kept = 16 * 1024 * 1024, most_small_kept = 1024 * 1024;
constexpr auto kept_for = std::chrono::seconds(3);
constexpr Bytes large_block = 32 * 1024, large_page = 2 * 1024 * 1024;

// Calls of one step. With more sequences, a call takes longer than a stream would save; a layer
// keeps at most `most_idle_streams` streams. A step with fewer than `short_step_products` weights
// keeps the GIL. The memory of arrays smaller than `least_own_array` is kept by NumPy itself.
// docs/tuning/overhead.md
constexpr Count most_one_step_sequences = 64, most_idle_streams = 8, short_step_products = 20'000;
constexpr Bytes least_own_array = 32 * 1024;

}  // namespace pyrnn::tuning
