import Fewstep

extension Generate {
  /// The text that other tools read, in the form that stable-diffusion-webui gave it: all that makes the same image
  /// again.
  func parameters(
    for image: GeneratedImage, _ request: GenerationRequest, _ sampling: Sampler, _ precision: Precision
  ) -> String {
    var text = request.prompt
    if !negative.isEmpty { text += "\nNegative prompt: \(negative)" }
    var fields =
      sampling.stepCount.map { ["Steps: \($0)"] }
      ?? ["Tolerance: \(request.tolerance)", "Maximum evaluations: \(request.maximumEvaluations)"]
    fields.append("Sampler: \(sampling.solver)")
    if let grid = request.spacing { fields.append("Schedule type: \(grid.rawValue)") }
    if let shift = request.shift { fields.append("Shift: \(shift)") }
    fields += ["CFG scale: \(request.guidanceScale)"] + guidance.fields + ["Seed: \(seed)"]
    if let source = self.image { fields += ["Image to start from: \(source)", "Denoising strength: \(strength)"] }
    if let latents { fields.append("Latents to start from: \(latents)") }
    if let preset { fields.append("Preset: \(preset.name)") }
    if precision != .float32 { fields.append("Precision: \(precision.rawValue)") }
    if let tokenMerging, tokenMerging > 0 { fields.append("Token merging ratio: \(tokenMerging)") }
    if let stepCache { fields.append("Step cache: \(stepCache)") }
    if noise != .fewstep { fields.append("RNG: \(noise.rawValue)") }
    if request.count > 1 { fields.append("Image: \(image.index)") }
    fields += [
      "Size: \(image.image.width)x\(image.image.height)", "Model: \(model.name)", "Version: fewstep \(fewstepVersion)",
    ]
    return text + "\n" + fields.joined(separator: ", ")
  }
}
