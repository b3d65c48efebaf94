import Foundation
import Sampling
import Testing

/// What diffusers' guiders make of random predictions: Tests/Fixtures/guidance.
struct GuiderFixtures: Decodable, Sendable {
  /// By name: per evaluation, per image, the elements.
  let inputs: [String: [[[Double]]]]
  let outputs: [String: [[[Double]]]]

  static let all: GuiderFixtures = {
    let url = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../Fixtures/guidance/guiders.json")
    do {
      return try JSONDecoder().decode(GuiderFixtures.self, from: Data(contentsOf: url))
    } catch {
      fatalError("\(url.path): \(error)")
    }
  }()
}

/// Guiders of diffusers 0.42.1 and the guidance that is the same. diffusers' images are handled one by one here; its
/// interval of steps is the noise levels that hold the same steps.
@Suite("Guidance as in diffusers")
struct GuidanceParityTests {
  /// Noise levels 3, 2, 1 at evaluations 0, 1, 2.
  static func moment(_ evaluation: Int) -> GuidanceMoment {
    GuidanceMoment(
      point: TimePoint(timestep: 900 - 300 * Double(evaluation), alpha: 1, sigma: 3 - Double(evaluation)),
      evaluation: evaluation)
  }

  static let cases: [(name: String, guidance: any Guidance)] = {
    do {
      let five = try ClassifierFreeGuidance(scale: 5)
      // Steps 2 of 3: skip-layer guidance begins after step int(0.34 * 3) = 1.
      let late = (lower: 0.5, upper: 1.5)
      return [
        ("cfg", try ClassifierFreeGuidance(scale: 7.5)),
        ("cfg original", try ClassifierFreeGuidance(scale: 2.5, formulation: .fromConditional)),
        ("cfg off", try ClassifierFreeGuidance(scale: 1)),
        ("cfg rescaled", try RescaledGuidance(ClassifierFreeGuidance(scale: 7.5), share: 0.7, space: .flow)),
        ("zero star", try CFGZeroStarGuidance(scale: 4)),
        ("zero star original", try CFGZeroStarGuidance(scale: 4, zeroEvaluations: 2, formulation: .fromConditional)),
        ("apg", try AdaptiveProjectedGuidance(scale: 7.5, radius: 2, formulation: .fromUnconditional)),
        (
          "apg original",
          try AdaptiveProjectedGuidance(
            scale: 3, momentum: 0.25, radius: 15, parallelShare: 0.5, formulation: .fromConditional)
        ),
        ("auto", try Autoguidance(scale: 2, weak: .unconditional)),
        ("skip", try ClassifierFreeGuidance(scale: 7.5).skippingLayers(["a"], interval: late)),
        ("perturbed", try five.perturbedAttention(scale: 2, interval: late)),
        // diffusers: c' + 3 (c - c').
        ("perturbed alone", try Unguided().perturbedAttention(scale: 2, interval: late)),
        ("smoothed", try five.smoothedEnergy(scale: 3, interval: late)),
        ("tangential", try TangentialGuidance(scale: 7.5)),
        ("tangential original", try TangentialGuidance(scale: 2, formulation: .fromConditional)),
        ("magnitude", try MagnitudeAwareGuidance(scale: 10, damping: 0.8)),
        ("magnitude original", try MagnitudeAwareGuidance(scale: 5, damping: 0.8, formulation: .fromConditional)),
      ]
    } catch {
      fatalError("\(error)")
    }
  }()

  @Test func everyGuiderIsCompared() {
    #expect(Set(Self.cases.map(\.name)) == Set(GuiderFixtures.all.outputs.keys))
  }

  @Test(arguments: cases.indices) func predictionsAgree(_ index: Int) throws {
    let (name, guidance) = Self.cases[index]
    let expected = try #require(GuiderFixtures.all.outputs[name])
    var greatest = 0.0
    for image in expected[0].indices {
      greatest = max(greatest, try Self.greatestError(of: guidance, image: image, expected: expected))
    }
    print("\(name): greatest error \(greatest)")
    #expect(greatest < 1e-12)
  }

  private static func greatestError(
    of guidance: some Guidance, image: Int, expected: [[[Double]]]
  ) throws -> Double {
    var memory = GuidanceMemory<DoubleTensor>()
    var greatest = 0.0
    for evaluation in expected.indices {
      let moment = moment(evaluation)
      let branches = guidance.branches(at: moment)
      let outputs = try branches.map { branch in
        let input =
          branch.perturbation != .none ? "skip" : branch.prompt == .positive(0) ? "cond" : "uncond"
        return DoubleTensor(try #require(GuiderFixtures.all.inputs[input])[evaluation][image])
      }
      let result = guidance.combine(
        BranchOutputs(outputs, of: branches, state: DoubleTensor(zeros: [12])), at: moment, memory: &memory)
      for (one, other) in zip(result.values, expected[evaluation][image]) {
        greatest = max(greatest, abs(one - other) / max(1, abs(other)))
      }
    }
    return greatest
  }
}
