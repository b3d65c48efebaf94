import RealModule
import Testing

@testable import Sampling

@Suite("Exponential integrators")
struct PhiTests {
  /// Values by mpmath at 150 digits.
  static let values: [(k: Int, z: Double, value: Double)] = [
    (1, 1e-12, 1.0000000000005),
    (1, -1e-09, 0.9999999995),
    (1, 0.0001, 1.0000500016667084),
    (1, 0.1, 1.0517091807564762),
    (1, -0.5, 0.7869386805747332),
    (1, 1.0, 1.7182818284590453),
    (1, -1.99, 0.4338213942484805),
    (1, 2.0, 3.194528049465325),
    (1, -2.0, 0.43233235838169365),
    (1, 2.5, 4.472997584281389),
    (1, -5.0, 0.1986524106001829),
    (1, 12.0, 13562.81595158366),
    (1, -30.0, 0.03333333333333022),
    (2, 1e-12, 0.5000000000001666),
    (2, -1e-09, 0.4999999998333333),
    (2, 0.0001, 0.5000166670833417),
    (2, 0.1, 0.5170918075647625),
    (2, -0.5, 0.4261226388505337),
    (2, 1.0, 0.7182818284590452),
    (2, -1.99, 0.2845118621866932),
    (2, 2.0, 1.0972640247326626),
    (2, -2.0, 0.28383382080915315),
    (2, 2.5, 1.3891990337125557),
    (2, -5.0, 0.1602695178799634),
    (2, 12.0, 1130.1513292986383),
    (2, -30.0, 0.032222222222222326),
    (3, 1e-12, 0.16666666666670835),
    (3, -1e-09, 0.166666666625),
    (3, 0.0001, 0.16667083341666805),
    (3, 0.1, 0.17091807564762482),
    (3, -0.5, 0.1477547222989326),
    (3, 1.0, 0.21828182845904523),
    (3, -1.99, 0.10828549638859637),
    (3, 2.0, 0.2986320123663313),
    (3, -2.0, 0.10808308959542341),
    (3, 2.5, 0.3556796134850223),
    (3, -5.0, 0.06794609642400731),
    (3, 12.0, 94.13761077488653),
    (3, -30.0, 0.015592592592592588),
    (4, 1e-12, 0.041666666666675),
    (4, -1e-09, 0.04166666665833333),
    (4, 0.0001, 0.04166750001388909),
    (4, 0.1, 0.04251408980958145),
    (4, -0.5, 0.03782388873546811),
    (4, 1.0, 0.05161516179237857),
    (4, -1.99, 0.029337271496517738),
    (4, 2.0, 0.06598267284983231),
    (4, -2.0, 0.029291788535621626),
    (4, 2.5, 0.07560517872734225),
    (4, -5.0, 0.01974411404853187),
    (4, 12.0, 7.830912009018322),
    (4, -30.0, 0.005035802469135803),
  ]

  @Test(arguments: values) func phiFunctions(_ example: (k: Int, z: Double, value: Double)) {
    // The recursion divides a difference of k terms by |z| of 2 or more: a few ulps a turn.
    #expect(abs(phi(example.k, example.z) / example.value - 1) <= 2e-15 * Double(2 + 4 * example.k))
  }

  @Test func weightsAtSigmaZeroAreLimits() {
    let s = TimePoint(timestep: 500, alpha: 0.6, sigma: 0.8)
    let clean = ExponentialStep(.sample, from: s, to: TimePoint(timestep: 0, alpha: 1, sigma: 0))
    #expect(clean.carry == 0)
    #expect((1...3).map(clean.weight) == [1, 1, 0.5])
    let nearly = ExponentialStep(.sample, from: s, to: TimePoint(timestep: 0, alpha: 1, sigma: 1e-300))
    for k in 1...3 { #expect(abs(nearly.weight(k) / clean.weight(k) - 1) < 0.005) }
  }

  /// A constant prediction is carried exactly by the first weight, a linear one by the first two, and so on.
  @Test(arguments: [Prediction.sample, .epsilon]) func weightsIntegratePolynomials(_ prediction: Prediction) {
    let path = VariancePreserving.stableDiffusion
    let (s, t) = (path.point(lambda: -0.4), path.point(lambda: 0.7))
    let step = ExponentialStep(prediction, from: s, to: t)
    for degree in 0...2 {
      // Simpson's rule on ∫ e^{±λ} (λ - λ_s)ᵈ dλ, with the factor of the variation of constants.
      let count = 2000
      let integral =
        (0...count).reduce(0.0) { sum, index in
          let offset = step.h * Double(index) / Double(count)
          let weight = index == 0 || index == count ? 1.0 : index % 2 == 1 ? 4 : 2
          let kernel =
            prediction == .sample
            ? t.sigma * Double.exp(s.lambda + offset) : -t.alpha * Double.exp(-s.lambda - offset)
          return sum + weight * kernel * Double.pow(offset, degree)
        } * step.h / Double(3 * count)
      let factorial = degree == 2 ? 2.0 : 1
      #expect(abs(step.weight(degree + 1) * factorial * Double.pow(step.h, degree) / integral - 1) < 1e-10)
    }
  }
}
