// The rows of a product whose A was made for it: those of all groups, one after the other.
#pragma once

#include "kernel_table.hpp"

namespace pyrnn {
namespace {

// Rows at equal distances, in groups that are so too; which of both is called a row is free.
struct RowsOfA {
  Size count, groups;
  Size index, group_index;  // among the rows, from one to the next
  Size c, c_group, init, init_group;

  explicit RowsOfA(const Product<float>& q)
      : count(q.rows),
        groups(q.groups),
        index(1),
        group_index(q.rows),
        c(q.c_row),
        c_group(q.c_group),
        init(q.init_row),
        init_group(q.init_group) {
    if (q.groups <= q.rows) return;
    // Rows of different groups make fuller tiles.
    count = q.groups;
    groups = q.rows;
    index = q.rows;
    group_index = 1;
    c = q.c_group;
    c_group = q.c_row;
    init = q.init_group;
    init_group = q.init_row;
  }
};

}  // namespace
}  // namespace pyrnn
