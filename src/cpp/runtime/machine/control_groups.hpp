// How much processor time the system's control groups leave this process.
#pragma once

namespace pyrnn {

// Processors' worth of time, rounded up: the least limit of the group that this process is in and
// of the groups around it. 0 where there is none, or no control groups.
int processors_of_control_groups();

}  // namespace pyrnn
