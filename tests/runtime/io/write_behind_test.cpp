#include "runtime/io/write_behind.h"

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace tutti {
namespace {

void put_number(WriteBehind& behind, int number) {
  PageBuffer block = behind.take();
  std::memcpy(block.data(), &number, sizeof(number));
  behind.put(std::move(block), sizeof(number), number);
}

TEST(WriteBehind, writes_everything_in_order) {
  std::vector<std::int64_t> offsets;
  WriteBehind behind(kPageBytes, [&](std::span<const std::byte> data, std::int64_t offset) {
    int number = -1;
    ASSERT_EQ(data.size(), sizeof(number));
    std::memcpy(&number, data.data(), sizeof(number));
    EXPECT_EQ(number, offset);
    if (number % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    offsets.push_back(offset);
  });
  for (int i = 0; i < 100; ++i) put_number(behind, i);
  behind.drain();
  ASSERT_EQ(offsets.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(offsets[std::size_t(i)], i);
  behind.drain();
}

TEST(WriteBehind, a_failure_comes_out_and_stays) {
  int written = 0;
  WriteBehind behind(kPageBytes, [&](auto, std::int64_t offset) {
    if (offset == 3) throw std::runtime_error("disk");
    ++written;
  });
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) put_number(behind, i);
      },
      std::runtime_error);
  EXPECT_THROW(behind.drain(), std::runtime_error);
  EXPECT_THROW(put_number(behind, 0), std::runtime_error);
  EXPECT_EQ(written, 3);
}

TEST(WriteBehind, may_be_given_up) {
  WriteBehind unused(kPageBytes, [](auto, std::int64_t) {});
  WriteBehind busy(kPageBytes, [](auto, std::int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  put_number(busy, 1);
  put_number(busy, 2);
}

}  // namespace
}  // namespace tutti
