import RealModule

/// φₖ(z), the functions of exponential integrators: φ₀ = eᶻ and φₖ₊₁(z) = (φₖ(z) - 1/k!) / z.
///
/// Hochbruck and Ostermann 2010, "Exponential integrators", eq. 2.10. The recursion loses all digits for small z,
/// where the Taylor series Σ zʲ / (j + k)! is used.
func phi(_ k: Int, _ z: Double) -> Double {
  let first = 1 / (1...max(k, 1)).reduce(1.0) { $0 * Double($1) }
  guard abs(z) < 2 else {
    var value = Double.exp(z)
    var inverseFactorial = 1.0
    for index in 0..<k {
      value = (value - inverseFactorial) / z
      inverseFactorial /= Double(index + 1)
    }
    return value
  }
  var term = first
  var sum = 0.0
  var index = k
  while abs(term) > abs(sum) * 1e-18 {
    sum += term
    index += 1
    term *= z / Double(index)
  }
  return sum
}
