// Sealed JSON, as it comes and with the seal that its contents ask for, behind which no fuzzer gets
// by itself.
#include "runtime/io/crc32c.h"
#include "runtime/io/sealed_json.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

void unseal(const std::string& bytes) {
  fuzz::accepts([&] {
    const nlohmann::json object = unseal_json(bytes, "here");
    CHECK(object.is_object() && !object.contains("crc32c"));
    CHECK(unseal_json(seal_json(object), "there") == object, bytes);
  });
}

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const std::string body(fuzz::text_of(data, size));
  unseal(body);
  const std::string front = "{\"crc32c\":\"", rest = "\"" + body;
  unseal(front + crc_to_hex(crc32c(front + "00000000" + rest)) + rest);
  return 0;
}
