import Fewstep
import Foundation
import Testing

@testable import GlyphEvaluation

/// The evaluator and the Fréchet distance against PyTorch and scipy: Tests/Fixtures/evaluator.
@Suite("The glyph evaluator")
struct EvaluationTests {
  struct Fixture: Decodable {
    struct Picture: Decodable {
      let `case`: Int
      let run: String
      let features: [Double]
      let labels: [String: Int]
    }

    struct Frechet: Decodable {
      let means: [[Double]]
      let covariances: [[Double]]
      let distance: Double
    }

    let pictures: [Picture]
    let frechet: Frechet
  }

  static func fixture() throws -> Fixture {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let url = tests.appending(path: "Fixtures/evaluator/evaluator.json")
    return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
  }

  @Test func readsWhatPyTorchReads() throws {
    let evaluator = try GlyphEvaluator()
    for picture in try Self.fixture().pictures {
      let record = try ReferenceTests.record(picture.case)
      let pixels = DenseTensor.stacking([try ReferenceTests.tensor("\(picture.run).pixels", in: record)])
      let reading = evaluator.read([pixels.channelsLast()[outer: 0]])[0]
      let error = DoubleTensor(reading.features).relativeError(to: DoubleTensor(picture.features))
      #expect(error < 1e-5)
      #expect(Dictionary(uniqueKeysWithValues: reading.labels.map { ($0.rawValue, $1) }) == picture.labels)
    }
  }

  @Test func frechetDistanceAgreesWithScipy() throws {
    let expected = try Self.fixture().frechet
    let sets = zip(expected.means, expected.covariances).map { FeatureStatistics(mean: $0, covariance: $1) }
    #expect(abs(try sets[0].frechetDistance(to: sets[1]) - expected.distance) < 1e-9 * expected.distance)
    // Symmetric, and nothing to itself; square roots of rounding errors remain.
    #expect(abs(try sets[1].frechetDistance(to: sets[0]) - expected.distance) < 1e-9 * expected.distance)
    #expect(abs(try sets[0].frechetDistance(to: sets[0])) < 1e-6)
  }

  @Test func frechetDistanceOfAxesIsAnalytic() throws {
    let first = FeatureStatistics(mean: [1, 2], covariance: [4, 0, 0, 9])
    let second = FeatureStatistics(mean: [0, 4], covariance: [1, 0, 0, 25])
    // 1² + 2² for the means, (2 - 1)² + (3 - 5)² for the standard deviations.
    #expect(abs(try first.frechetDistance(to: second) - 10) < 1e-12)
  }

  @Test func statisticsOfSamples() {
    let statistics = FeatureStatistics(of: [[0, 0], [2, 4], [4, 2]])
    #expect(statistics.mean == [2, 2])
    #expect(statistics.covariance == [4, 2, 2, 4])
  }

  @Test func promptsAreThoseOfTheEvaluation() throws {
    let prompts = try GlyphPrompt.evaluation()
    #expect(prompts.count == 512)
    #expect(prompts.allSatisfy { $0.foreground != $0.background })
    let prompt = GlyphPrompt(character: 0, foreground: 2, background: 1, bold: true, italic: true, serif: true)
    #expect(prompt.text == "a bold italic red letter A on a white background, serif")
    #expect(prompt.text(prefix: "noisy") == "a noisy bold italic red letter A on a white background, serif")
  }
}
