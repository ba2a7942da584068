// One of the files that sentence-transformers keeps beside a model; the first byte tells which.
#include "jobs/sentence_transformers.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  constexpr const char* kFiles[] = {kSentenceModules, kSentencePooling, kSentenceSettings,
                                    kTokenizerSettings};
  std::string_view bytes = fuzz::text_of(data, size);
  const char* file = kFiles[fuzz::take_byte(bytes) % 4];
  fuzz::accepts([&] {
    const SentenceSettings settings = read_sentence_settings({{file, std::string(bytes)}}, "here");
    CHECK(!settings.longest || *settings.longest >= 0);
  });
  return 0;
}
