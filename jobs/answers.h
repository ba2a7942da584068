// Passages found for questions, for a person to read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "kernels/vector/distance.h"
#include "kernels/vector/top_k.h"
#include "runtime/data/dataset.h"

namespace tutti {

// The passages with their documents' titles: [{"rank", "score", "passage", "title", "text"}],
// nearest first, padding left out. The score is the cosine similarity or inner product, or the
// negative squared distance: higher is better. Local; throws Error(data) where the dataset is no
// text dataset or lacks a passage.
nlohmann::json answers_of(const Dataset& dataset, std::span<const Neighbor> found, Metric metric);

// A question and its answers, wrapped to `width` columns (of characters).
std::string answers_text(const std::string& question, const nlohmann::json& answers,
                         std::size_t width);

// `text` in lines of at most `width` characters, each behind `indent` spaces and ended; words
// longer than a line stay whole, white space is one space.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent);

}  // namespace tutti
