// examples/distil.cpp -- a small network learns a larger one's answers on random inputs.
//   g++ -O2 distil.cpp $(pkg-config --cflags --libs retort) -fopenmp -o distil && ./distil
#include <cstdio>

#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "nn/grad_accumulator.h"
#include "nn/models/mlp.h"
#include "nn/optim/adam.h"
#include "tensor/random.h"

using namespace retort;

int main() {
  const Rng rng(1);
  MlpNet teacher({.in = 8, .classes = 4, .widths = {64, 64}}), student({.in = 8, .classes = 4, .widths = {16}});
  for (MlpNet* net : {&teacher, &student}) {
    name_modules(*net);
    initialize(*net, net == &teacher ? rng : Rng(2));
  }
  AdamW optimizer({.weight_decay = 0.01});
  GradAccumulator gradients(parameters_of(student));
  double first = 0, last = 0;
  for (std::uint32_t step = 0; step < 300; ++step) {
    const Tensor x = normal({128, 8}, rng.stream("inputs", step)), one = Tensor::scalar(1);
    Ctx frozen, trained;
    Tape tape;
    Leaves leaves(tape);
    trained.leaves = &leaves;
    const Tensor loss = mean(kl_forward(student(x, trained), teacher(x, frozen)));
    gradients.zero();
    gradients.attach(leaves);
    tape.backward(std::span(&loss, 1), std::span(&one, 1), gradients);
    optimizer.step(gradients.parameters(), gradients.grads(), 0.01);
    last = loss.unlifted().item();
    if (step == 0) first = last;
  }
  std::printf("KL(teacher || student): %.4f before, %.4f after\n", first, last);
  return last < 0.2 * first ? 0 : 1;
}
