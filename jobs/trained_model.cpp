#include "jobs/trained_model.h"

#include <stdexcept>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using nlohmann::json;

ArenaLayout layout_from_json(const json& parameters, std::int64_t most_elements) {
  ArenaLayout layout;
  for (const json& parameter : parameters) {
    std::vector<std::int64_t> shape;
    std::int64_t left = most_elements - layout.used_size();
    for (const json& extent : parameter.at("shape")) {
      shape.push_back(integer_of(extent));
      if (shape.back() < 1 || shape.back() > left)
        throw std::invalid_argument("a parameter that the array cannot hold");
      left /= shape.back();
    }
    layout.add(parameter.at("name").get<std::string>(), std::move(shape), false);
    if (layout.parameters().back().offset != integer_of(parameter.at("begin")))
      throw std::invalid_argument("a parameter at another place");
  }
  if (layout.padded_size() > most_elements)
    throw std::invalid_argument("parameters that the array cannot hold");
  return layout;
}

}  // namespace

json model_metadata_of(json task_metadata, const json& about, std::int64_t steps) {
  task_metadata.merge_patch(about);
  task_metadata["steps"] = steps;
  return task_metadata;
}

json to_json(const TrainedModel& model) {
  json parameters = json::array();
  for (const Parameter& p : model.layout.parameters())
    parameters.push_back({{"name", p.name}, {"shape", p.shape}, {"begin", p.offset}});
  return {{"about", model.about},
          {"parameters", std::move(parameters)},
          {"array", model.array},
          {"dataset", model.dataset.string()},
          {"tokenizer", to_json(model.tokenizer)}};
}

TrainedModel trained_model_from_json(const json& value, std::int64_t most_elements,
                                     const std::string& place) {
  try {
    TrainedModel model;
    model.about = value.at("about");
    model.layout = layout_from_json(value.at("parameters"), most_elements);
    model.array = value.at("array").get<std::string>();
    model.dataset = value.at("dataset").get<std::string>();
    model.tokenizer = file_record_from_json(value.at("tokenizer"), place);
    if (!model.about.is_object()) throw std::invalid_argument("no metadata");
    return model;
  } catch (const json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "it does not describe a model that it holds", place);
}

}  // namespace tutti
