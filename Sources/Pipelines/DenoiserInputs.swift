import DenseTensors
import Networks
import Sampling
import Tensors

/// Requests as the denoiser takes them: element i of every list belongs to request i.
struct DenoiserInputs {
  var images: [Int] = []
  var branches: [GuidanceBranch] = []
  var lambdas: [Double] = []
  /// Each `[height, width, channels]`, scaled for the model.
  var states: [DenseTensor<Float>] = []
  var timesteps: [Double] = []
  var prompts: [UNet2DConditionModel.Prompt] = []
  var perturbations: [UNetPerturbation?] = []
  /// As ``GenerationRequest/tokenMerging``, of whole evaluations.
  var tokenMerging = 0.0

  var indices: Range<Int> { states.indices }

  subscript(requests: [Int]) -> DenoiserInputs {
    DenoiserInputs(
      images: requests.map { images[$0] }, branches: requests.map { branches[$0] },
      lambdas: requests.map { lambdas[$0] }, states: requests.map { states[$0] },
      timesteps: requests.map { timesteps[$0] }, prompts: requests.map { prompts[$0] },
      perturbations: requests.map { perturbations[$0] }, tokenMerging: tokenMerging)
  }

  func kind(_ part: ComputationKind.Part) -> ComputationKind {
    .denoising(
      branches.map(\.perturbation), states[0].shape, promptLengths: prompts.map(\.length), part,
      tokenMerging: tokenMerging)
  }

  func evaluate(_ model: UNet2DConditionModel) -> DenseTensor<Float> {
    model(
      .stacking(states), timesteps: timesteps, prompts: prompts, perturbations: perturbations,
      tokenMerging: tokenMerging)
  }

  func shallowMaps(_ model: UNet2DConditionModel, depth: Int) -> [DenseTensor<Float>] {
    model.shallowMaps(
      .stacking(states), depth: depth, timesteps: timesteps, prompts: prompts, perturbations: perturbations)
  }

  func finish(
    _ model: UNet2DConditionModel, _ maps: [DenseTensor<Float>], deep: DenseTensor<Float>?
  ) -> (output: DenseTensor<Float>, deep: DenseTensor<Float>) {
    model.finish(maps, deep: deep, timesteps: timesteps, prompts: prompts, perturbations: perturbations)
  }
}
