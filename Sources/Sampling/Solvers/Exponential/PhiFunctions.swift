import RealModule

/// φₖ(z), the functions of exponential integrators: φ₀ = eᶻ and φₖ₊₁(z) = (φₖ(z) - 1/k!) / z.
///
/// Hochbruck and Ostermann 2010, "Exponential integrators", eq. 2.10. Within a few ulps for every z and k to 8. The
/// recursion subtracts numbers that agree in more digits the smaller |z| / k is; there the Taylor series
/// Σ zʲ / (j + k)! is summed from its small end, whose terms, where they alternate, still fall from the first on.
func phi(_ k: Int, _ z: Double) -> Double {
  guard k > 0 else { return .exp(z) }
  let inverseFactorial = 1 / (1...k).reduce(1.0) { $0 * Double($1) }
  guard abs(z) >= Double(k) else {
    // Fewer than 1e-17 of the sum are left out: its terms fall faster than (k / (k + j))ʲ.
    return (1...(40 + 2 * k)).reversed().reduce(1.0) { 1 + $0 * z / Double(k + $1) } * inverseFactorial
  }
  var value = Double.expMinusOne(z) / z
  var subtracted = 1.0
  for index in 1..<k {
    subtracted /= Double(index)
    value = (value - subtracted) / z
  }
  return value
}

/// ∫₀¹ e^(z (1 - τ)) Lᵢ(τ) dτ for the Lagrange polynomials Lᵢ of `nodes`: the weights that integrate what is
/// interpolated there.
///
/// The moments of the kernel are k! φₖ₊₁(z). No power of the step is divided out, and where no node lies inside the
/// step the coefficients of a polynomial have one sign: nothing cancels, however small the step is. An infinitely far
/// node weighs nothing, the limit of its weight; the others interpolate without it.
func lagrangeWeights(_ nodes: [Double], _ z: Double) -> [Double] {
  var factorial = 1.0
  let moments = nodes.indices.map { power in
    factorial *= Double(max(power, 1))
    return factorial * phi(power + 1, z)
  }
  return nodes.enumerated().map { index, node in
    guard node.isFinite else { return 0 }
    var polynomial = [1.0]
    for (other, root) in nodes.enumerated() where other != index && root.isFinite {
      let scale = 1 / (node - root)
      let raised = [0] + polynomial
      polynomial = zip(raised, polynomial + [0]).map { scale * ($0 - root * $1) }
    }
    return zip(polynomial, moments).reduce(0) { $0 + $1.0 * $1.1 }
  }
}
