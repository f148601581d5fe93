// A pool of worker threads, and the team that one call gets of it.
//
// A job is cut into phases, and each phase into parts, one for each thread of the team. All parts
// of a phase are done before the next begins. Every thread takes its own part first, then one that
// nobody has begun. So a thread that has lost its core, or is still waking, delays the others only
// while it is within a part. No result depends on who does a part.
//
// A thread that waits spins for a short time, then sleeps: if another has lost its core, it may
// need this one. One call at a time gets the workers; a call that finds them taken runs alone,
// which changes no result either, and so does one from within a part. A job wakes the workers that
// it has parts for. They are started when first needed; where the system refuses some, the others
// do all parts. After fork the child starts workers of its own.
#pragma once

#include <functional>

#include "runtime/cores/thread_count.hpp"
#include "runtime/threads/range.hpp"

namespace pyrnn {

class Workers;

// Workers for one call: up to `wanted` threads, the caller being one of them.
class Team {
 public:
  explicit Team(int wanted);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  // Calls work(phase, part) once for each of so many phases, one after another, and each part in
  // [0, parts), at most `size()`; returns when all have. Workers flush subnormals, and so must the
  // caller (`FlushScope`). Once `work` throws, no part begins, those under way are waited for, and
  // it is thrown here.
  void run(int parts, Size phases, const std::function<void(Size, int)>& work);

  // The same with one phase, whose parts may be divided. While a thread waits, work that is under
  // way asks for a part that has ended (less than 0: there is none), and must then give it again,
  // with what it hands over.
  void run_divisible(int parts, const std::function<void(int)>& work);
  bool has_waiting() const;
  int take_vacant_part();
  void hand_over(int part);

 private:
  int size_ = 1;
  Workers* workers_ = nullptr;  // while they are this team's
  bool divides_ = false;        // whether the parts that run can be divided
};

}  // namespace pyrnn
