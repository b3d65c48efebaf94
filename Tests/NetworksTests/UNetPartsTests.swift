import Checkpoints
import DenseTensors
import Networks
import Tensors
import Testing

@Suite("Parts of a UNet")
struct UNetPartsTests {
  /// Cut at any depth, the parts together give the bits of the whole; so does the shallow part with the deep features
  /// of the same input, of each image alone and of all.
  @Test(arguments: ["unet-sd", "unet-sd2", "unet-odd", "unet-scale-shift", "unet-plain", "unet-pad"])
  func partsMakeTheWhole(_ name: String) throws {
    let model = try UNet2DConditionModel(Fixtures.folder(), component: name)
    for record in try Fixtures.records(of: name) {
      let context = try record.tensor("in.encoder_hidden_states")
      let prompts = (0..<context.shape[0]).map { model.prepare(context[outer: $0]) }
      let sample = try record.tensor("in.sample").channelsLast()
      let times = try record.floats("in.timestep").map(Double.init)
      let whole = model(sample, timesteps: times, prompts: prompts)
      for depth in 1..<model.mapCount {
        let maps = model.shallowMaps(sample, depth: depth, timesteps: times, prompts: prompts)
        #expect(maps.count == depth)
        let full = model.finish(maps, timesteps: times, prompts: prompts)
        #expect(full.output == whole)
        #expect(model.finish(maps, deep: full.deep, timesteps: times, prompts: prompts).output == whole)
        for image in prompts.indices {
          let own = model.finish(
            maps.map { .stacking([$0[outer: image]]) }, deep: .stacking([full.deep[outer: image]]),
            timesteps: [times[image]], prompts: [prompts[image]])
          #expect(own.output[outer: 0] == whole[outer: image])
        }
        // The deep features matter: without them the prediction is another.
        let none = model.finish(
          maps, deep: DenseTensor(zeros: full.deep.shape), timesteps: times, prompts: prompts)
        #expect(none.output != whole)
      }
    }
  }
}
