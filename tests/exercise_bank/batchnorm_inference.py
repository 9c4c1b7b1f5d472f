import torch
from torch import nn

from exercise_bank import right, wrong


def shaped(values, z):
    return values.reshape(1, -1, *[1] * (z.dim() - 2))


def statistics(z):
    dims = [0] if z.dim() == 2 else [0, 2, 3]
    return z.mean(dims), z.var(dims)


# --- eval-warm-up ------------------------------------------------------------------------------------


@right("eval-warm-up")
def warm_formula(rho, t, variance):
    return variance + (1 - variance) * (1 - rho) ** t


@right("eval-warm-up")
def warm_loop(rho, t, variance):
    r = 1.0
    for _ in range(t):
        r = (1 - rho) * r + rho * variance
    return r


@right("eval-warm-up")
def warm_by_torch(rho, t, variance):
    bn = nn.BatchNorm1d(1, momentum=rho)
    batch = torch.tensor([[-1.0], [1.0]]) * (variance / 2) ** 0.5
    for _ in range(t):
        bn(batch)
    return bn.running_var


# --- eval-inference ----------------------------------------------------------------------------------


@right("eval-inference")
def infer_view(z, mean, var, gamma, beta, eps):
    z_hat = (z - shaped(mean, z)) / torch.sqrt(shaped(var, z) + eps)
    return shaped(gamma, z) * z_hat + shaped(beta, z)


@right("eval-inference")
def infer_loop(z, mean, var, gamma, beta, eps):
    y = z.clone()
    for c in range(z.shape[1]):
        y[:, c] = (z[:, c] - mean[c]) / (var[c] + eps) ** 0.5 * gamma[c] + beta[c]
    return y


@right("eval-inference")
def infer_by_scale_and_shift(z, mean, var, gamma, beta, eps):
    scale = gamma * (var + eps) ** -0.5
    return torch.addcmul(shaped(beta - scale * mean, z), z, shaped(scale, z))


@wrong("eval-inference", "You let torch normalize")
def infer_each_alone(z, mean, var, gamma, beta, eps):
    """One example at a time, by a layer in eval mode."""
    bn = (nn.BatchNorm2d if z.dim() == 4 else nn.BatchNorm1d)(z.shape[1], eps=eps).eval()
    with torch.no_grad():
        bn.running_mean[:], bn.running_var[:], bn.weight[:], bn.bias[:] = mean, var, gamma, beta
    return torch.cat([bn(one[None]) for one in z])


# --- eval-running-update -----------------------------------------------------------------------------


@right("eval-running-update")
def update_returned(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var


@right("eval-running-update")
def update_in_place(running_mean, running_var, z, momentum):
    mean, var = statistics(z)
    running_mean.mul_(1 - momentum).add_(momentum * mean)
    running_var += momentum * (var - running_var)


@right("eval-running-update")
def update_by_hand(running_mean, running_var, z, momentum):
    new_mean, new_var = running_mean.clone(), running_var.clone()
    for c in range(z.shape[1]):
        values = z[:, c].flatten()
        n, mu = len(values), values.mean()
        new_mean[c] += momentum * (mu - running_mean[c])
        new_var[c] += momentum * (((values - mu) ** 2).sum() / (n - 1) - running_var[c])
    return new_mean, new_var


@wrong("eval-running-update", "You let torch normalize")
def update_by_torch(running_mean, running_var, z, momentum):
    nn.functional.batch_norm(z, running_mean, running_var, training=True, momentum=momentum)


@wrong("eval-running-update", "You let torch normalize")
def update_by_a_layer(running_mean, running_var, z, momentum):
    layer = (nn.BatchNorm1d if z.dim() == 2 else nn.BatchNorm2d)(len(running_mean), momentum=momentum)
    layer.running_mean, layer.running_var = running_mean, running_var
    layer(z)


@wrong("eval-inference", "You let torch normalize")
def infer_by_compiled_code(z, running_mean, running_var, gamma, beta, eps):
    return torch.batch_norm(z, gamma, beta, running_mean, running_var, False, 0.0, eps, False)


@wrong("eval-fold", "You let torch normalize")
def fold_by_trial(weight, bias, running_mean, running_var, gamma, beta, eps):
    points = torch.stack([bias, bias + 1])
    shift, above = nn.functional.batch_norm(points, running_mean, running_var, gamma, beta, eps=eps)
    return weight * (above - shift).view(-1, *[1] * (weight.dim() - 1)), shift


# --- eval-algorithm-2 --------------------------------------------------------------------------------


@right("eval-algorithm-2")
def algorithm_by_torch(batches):
    bn = nn.BatchNorm1d(batches.shape[2], momentum=None)
    for batch in batches:
        bn(batch)
    return bn.running_mean, bn.running_var


@right("eval-algorithm-2")
def algorithm_loop(batches):
    k, m, channels = batches.shape
    mean, var = torch.zeros(channels), torch.zeros(channels)
    for batch in batches:
        mu = batch.sum(0) / m
        mean += mu / k
        var += ((batch - mu) ** 2).sum(0) / (m - 1) / k
    return mean, var


@right("eval-algorithm-2")
def algorithm_einsum(batches):
    k, m, _ = batches.shape
    c = batches - batches.mean(1, keepdim=True)
    return torch.einsum("kmc->c", batches) / (k * m), torch.einsum("kmc,kmc->c", c, c) / (k * (m - 1))


# --- eval-fold ---------------------------------------------------------------------------------------


@right("eval-fold")
def fold_formula(weight, bias, mean, var, gamma, beta, eps):
    scale = gamma / torch.sqrt(var + eps)
    return (scale * weight.movedim(0, -1)).movedim(-1, 0), beta + scale * (bias - mean)


@right("eval-fold")
def fold_loop(weight, bias, mean, var, gamma, beta, eps):
    weight, bias = weight.clone(), bias.clone()
    for c in range(len(bias)):
        factor = gamma[c] / (var[c] + eps) ** 0.5
        weight[c] *= factor
        bias[c] = (bias[c] - mean[c]) * factor + beta[c]
    return weight, bias


@right("eval-fold")
def fold_by_probing(weight, bias, mean, var, gamma, beta, eps):
    def both(z):
        return gamma * (z - mean) / (var + eps).sqrt() + beta

    flat = weight.flatten(1)
    columns = [both(flat[:, k] + bias) - both(bias) for k in range(flat.shape[1])]
    return torch.stack(columns, 1).view_as(weight), both(bias)


@right("eval-fold")
def fold_parameters(weight, bias, mean, var, gamma, beta, eps):
    weight, bias = fold_formula(weight, bias, mean, var, gamma, beta, eps)
    return nn.Parameter(weight), nn.Parameter(bias)


# --- eval-module -------------------------------------------------------------------------------------


@right("eval-module")
class ModuleByHand(nn.Module):
    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))
        self.eps, self.momentum = eps, momentum

    def forward(self, z):
        if self.training:
            mean, var = z.mean(0), z.var(0, unbiased=False)
            with torch.no_grad():
                m = len(z)
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * m / (m - 1) - self.running_var)
                self.num_batches_tracked += 1
        else:
            mean, var = self.running_mean, self.running_var
        return (z - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


@right("eval-module")
class ModuleThatReplacesBuffers(ModuleByHand):
    def forward(self, z):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, c = z.mean(0), z - z.mean(0)
            var = (c * c).mean(0)
            self.running_mean = torch.lerp(self.running_mean, mean.detach(), self.momentum)
            self.running_var = torch.lerp(self.running_var, z.var(0).detach(), self.momentum)
            self.num_batches_tracked = self.num_batches_tracked + 1
        return torch.addcmul(self.bias, self.weight, (z - mean) / torch.sqrt(var + self.eps))


@right("eval-module")
def module_with_no_bias_of_its_own(channels, eps, momentum):
    """A function that builds a subclass of PyTorch's layer with a forward pass of its own."""

    class Own(nn.BatchNorm1d):
        def forward(self, z):
            return ModuleByHand.forward(self, z)

    return Own(channels, eps=eps, momentum=momentum)


@wrong("eval-module", "carry a graph")
class LinkedNorm(torch.nn.BatchNorm1d):
    def forward(self, z):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var, old = z.mean(0), z.var(0, correction=0), 1 - self.momentum
            self.running_mean = old * self.running_mean + self.momentum * mean
            with torch.no_grad():
                self.running_var.lerp_(z.var(0), self.momentum)
            self.num_batches_tracked += 1
        return self.weight * (z - mean) / (var + self.eps).sqrt() + self.bias


@wrong("eval-module", "Your layer goes on updating its running statistics in eval mode")
class ModuleThatAlwaysUpdates(ModuleByHand):
    def forward(self, z):
        with torch.no_grad():
            self.running_mean += self.momentum * (z.mean(0) - self.running_mean)
            self.running_var += self.momentum * (z.var(0) - self.running_var)
        self.num_batches_tracked += self.training
        mean, var = z.mean(0), z.var(0, correction=0)
        if not self.training:
            mean, var = self.running_mean, self.running_var
        return (z - mean) / (var + self.eps).sqrt() * self.weight + self.bias
