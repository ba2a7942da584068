// Work that takes less time than waking other threads for it.
#pragma once

namespace tutti {

// As long as it exists, loops that the calling thread starts (parallel.h) run on it alone.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;  // that they had before
};

}  // namespace tutti
