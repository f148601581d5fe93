// Where workers run: a thread that waits for a worker whose core the system has given to another
// process lends it its own, and who wakes workers keeps the core that it runs on itself. Nothing of
// it happens where the system has no such calls, or forbids them.
#pragma once

#include <functional>
#include <vector>

namespace pyrnn {

// A thread as the system knows it; 0 is none.
using ThreadId = int;

ThreadId this_thread_id();

// Whether a thread that has work to do has made no progress for a moment.
bool has_lost_its_core(ThreadId thread);

// Moves a thread to the processor of the calling one, which should then sleep. Returns that
// processor, or less than 0. Where the thread may run stays what it was.
int bring_here(ThreadId thread);

// Calls wake(), upon which threads that sleep shall not begin on the processor of the calling one:
// some systems put them there, as others sleep deeply, and they would wait for its time slice to
// end.
void wake_elsewhere(const std::vector<ThreadId>& threads, const std::function<void()>& wake);

// Moves the calling thread to another processor, if there is one where it may run.
void leave_processor(int processor);

}  // namespace pyrnn
