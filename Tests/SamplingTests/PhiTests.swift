import RealModule
import Testing

@testable import Sampling

@Suite("Exponential integrators")
struct PhiTests {
  /// φ₁ ... φ₄ by mpmath at 200 digits, rounded; ±2 is where the series gives way to the recursion.
  static let values: [(z: Double, phi: [Double])] = [
    (1e-12, [1.0000000000005, 0.5000000000001666, 0.16666666666670835, 0.041666666666675]),
    (-1e-9, [0.9999999995, 0.4999999998333333, 0.166666666625, 0.04166666665833333]),
    (0.0001, [1.0000500016667084, 0.5000166670833417, 0.16667083341666805, 0.04166750001388909]),
    (0.1, [1.0517091807564762, 0.5170918075647625, 0.17091807564762482, 0.04251408980958145]),
    (-0.5, [0.7869386805747332, 0.4261226388505337, 0.1477547222989326, 0.03782388873546811]),
    (1.0, [1.7182818284590453, 0.7182818284590452, 0.21828182845904523, 0.05161516179237857]),
    (-1.3, [0.559590928435375, 0.33877620889586546, 0.12401830084933427, 0.032806435244101845]),
    (1.9999999999999998, [3.1945280494653248, 1.0972640247326624, 0.29863201236633125, 0.06598267284983231]),
    (-1.9999999999999998, [0.4323323583816937, 0.2838338208091532, 0.10808308959542341, 0.029291788535621626]),
    (2.0, [3.194528049465325, 1.0972640247326626, 0.2986320123663313, 0.06598267284983231]),
    (-2.0, [0.43233235838169365, 0.28383382080915315, 0.10808308959542341, 0.029291788535621626]),
    (2.1, [3.4124618631274526, 1.148791363394025, 0.30894826828286903, 0.06775314362676303]),
    (-2.5, [0.36716600055044046, 0.2531335997798238, 0.09874656008807048, 0.027168042631438474]),
    (3.3, [7.912920885047844, 2.0948245106205587, 0.48328015473350266, 0.09594348123237456]),
    (-5.0, [0.1986524106001829, 0.1602695178799634, 0.06794609642400731, 0.01974411404853187]),
    (12.0, [13562.81595158366, 1130.1513292986383, 94.13761077488653, 7.830912009018322]),
    (-30.0, [0.03333333333333022, 0.032222222222222326, 0.015592592592592588, 0.005035802469135803]),
    (50.0, [1.0369411057174145e20, 2.073882211434829e18, 4.147764422869658e16, 829552884573931.6]),
    (-50.0, [0.02, 0.0196, 0.009608, 0.0031411733333333333]),
  ]

  /// Up to φ₃, the highest used, within 5 ulps. In the recursion every turn multiplies the error at ±2 by about 4, and
  /// far from it by about 1.
  @Test(arguments: values) func phiFunctions(_ example: (z: Double, phi: [Double])) {
    for (index, expected) in example.phi.enumerated() {
      let k = index + 1
      let ulps = abs(phi(k, example.z) - expected) / expected.ulp
      #expect(ulps <= (k == 4 ? 8 : 5), "phi\(k)(\(example.z))")
    }
  }

  @Test func phiZeroIsTheExponential() {
    for z in [-30, -2, -0.1, 0, 1e-9, 1.5, 2, 10] {
      #expect(abs(phi(0, z) / Double.exp(z) - 1) <= 5 * Double.ulpOfOne)
    }
    for k in 1...4 { #expect(phi(k, 0) == 1 / (1...k).reduce(1.0) { $0 * Double($1) }) }
  }

  @Test func weightsAtSigmaZeroAreLimits() {
    let s = TimePoint(timestep: 500, alpha: 0.6, sigma: 0.8)
    let clean = ExponentialStep(.sample, from: s, to: TimePoint(timestep: 0, alpha: 1, sigma: 0))
    #expect(clean.carry == 0)
    #expect((1...3).map(clean.weight) == [1, 1, 0.5])
    let nearly = ExponentialStep(.sample, from: s, to: TimePoint(timestep: 0, alpha: 1, sigma: 1e-300))
    let inverse = 1 / nearly.h
    for (k, expected) in [(1, 1), (2, 1 - inverse), (3, 0.5 - inverse + inverse * inverse)] {
      #expect(abs(nearly.weight(k) - expected) <= 1e-15)
    }
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
