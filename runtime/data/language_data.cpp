#include "runtime/data/language_data.h"

namespace tutti {

std::vector<std::int64_t> LanguageData::numbers(std::int64_t step, std::int64_t batch,
                                                Range samples) const {
  const BatchPlace place = batch_place(step, batch, sequences());
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = samples.begin; i < samples.end; ++i)
    numbers.push_back(sampler_.at(place.epoch, place.first_position + i));
  return numbers;
}

LanguageBatch LanguageData::load(std::int64_t step, std::int64_t batch, Range samples) const {
  LanguageBatch result;
  for (const std::int64_t number : numbers(step, batch, samples)) append(number, result);
  return result;
}

LanguageBatch LanguageData::load_in_order(Range numbers) const {
  LanguageBatch result;
  for (std::int64_t number = numbers.begin; number < numbers.end; ++number) append(number, result);
  return result;
}

TokenCount LanguageData::count(std::span<const std::int64_t> numbers) const {
  TokenCount sum;
  for (const std::int64_t number : numbers) {
    const TokenCount one = count_of(number);
    sum.tokens += one.tokens;
    sum.asked += one.asked;
  }
  return sum;
}

TokenCount LanguageData::count_in_order(Range numbers) const {
  std::vector<std::int64_t> all;
  for (std::int64_t number = numbers.begin; number < numbers.end; ++number) all.push_back(number);
  return count(all);
}

}  // namespace tutti
