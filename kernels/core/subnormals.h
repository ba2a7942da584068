// Subnormal floats, over each of which x86 processors take a hundred cycles.
#pragma once

namespace tutti {

// While it lives, the calling thread takes subnormal floats for zero, on x86; elsewhere nothing
// changes. For loops in which values decay without end, such as the moments of parameters that are
// seldom used.
class FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  unsigned before_ = 0;
};

}  // namespace tutti
