// Layer bench: NEURONS lif_units whose spikes of the frame before walk, per time step, through zero_skip and a PE
// set per bank into the recurrent sums. Prints, per frame and time step, the saturated additions of the
// accumulators and of the membranes, then every spike, then every membrane.
`default_nettype none

module tb_lif;
    parameter FRAMES = 1, NEURONS = 16, STEPS = 1, BANKS = 2, ACC_BITS = 12, MEMBRANE_BITS = 16, BETA = 240;
    parameter BETA_BITS = 8, THRESHOLD = 1024, SUBTRACT = 1, CARRY = 1;
    parameter integer REC_SHIFT = 0;
    localparam W = 4, INPUT_BITS = 24, WIDTH = (NEURONS + BANKS - 1) / BANKS, ALL = BANKS * WIDTH;

    reg clk = 0;
    always #1 clk = ~clk;

    reg [NEURONS*W-1:0] weights[0:ALL-1];
    reg [NEURONS*INPUT_BITS-1:0] currents[0:FRAMES*STEPS-1];
    reg starts[0:FRAMES-1];
    reg [ALL-1:0] previous[0:STEPS-1];
    reg load = 0, update = 0, forget = 0;
    reg [ALL-1:0] active;
    reg [NEURONS*INPUT_BITS-1:0] current;
    wire [BANKS-1:0] valid;
    wire [BANKS*NEURONS*ACC_BITS-1:0] accumulators;
    wire [BANKS*NEURONS-1:0] saturates;
    wire [NEURONS-1:0] spikes, clamps;
    wire [NEURONS*MEMBRANE_BITS-1:0] membranes;
    reg signed [INPUT_BITS-1:0] sum[0:NEURONS-1];
    integer t, s, j, n, k, in_sum, in_membrane;

    genvar b, m;
    generate
        for (b = 0; b < BANKS; b = b + 1) begin : bank
            wire [7:0] row;
            zero_skip #(WIDTH, 8) walk(
                clk, load, 1'b1, active[b*WIDTH+:WIDTH], {WIDTH{1'b1}}, valid[b], row);
            pe_set #(NEURONS, W, ACC_BITS, 1) pes(
                clk, load, valid[b], 1'b1, 1'b0, weights[b*WIDTH+row],
                accumulators[b*NEURONS*ACC_BITS+:NEURONS*ACC_BITS], saturates[b*NEURONS+:NEURONS]);
        end
        for (m = 0; m < NEURONS; m = m + 1) begin : neuron
            wire signed [MEMBRANE_BITS-1:0] level = THRESHOLD;
            lif_unit #(MEMBRANE_BITS, INPUT_BITS, BETA_BITS, REC_SHIFT) unit(
                clk, forget, update, SUBTRACT == 1, BETA[BETA_BITS:0], level,
                current[m*INPUT_BITS+:INPUT_BITS], sum[m], membranes[m*MEMBRANE_BITS+:MEMBRANE_BITS], spikes[m],
                clamps[m]);
        end
    endgenerate

    initial begin
        $readmemh("weights.hex", weights, 0, NEURONS - 1);
        $readmemh("currents.hex", currents);
        $readmemh("starts.hex", starts);
        for (t = 0; t < FRAMES; t = t + 1) begin
            forget = starts[t] || !CARRY;
            if (starts[t]) for (s = 0; s < STEPS; s = s + 1) previous[s] = 0;
            @(negedge clk) forget = 0;
            for (s = 0; s < STEPS; s = s + 1) begin
                active = previous[s];
                current = currents[t*STEPS+s];
                load = 1;
                @(negedge clk) load = 0;
                in_sum = 0;
                #0;
                while (|valid) begin
                    for (n = 0; n < BANKS * NEURONS; n = n + 1) in_sum = in_sum + saturates[n];
                    @(negedge clk) #0;
                end
                for (j = 0; j < NEURONS; j = j + 1) begin
                    sum[j] = 0;
                    for (k = 0; k < BANKS; k = k + 1)
                        sum[j] = sum[j] + $signed(accumulators[(k*NEURONS+j)*ACC_BITS+:ACC_BITS]);
                end
                update = 1;
                #0 previous[s] = spikes;
                in_membrane = 0;
                for (j = 0; j < NEURONS; j = j + 1) in_membrane = in_membrane + clamps[j];
                @(negedge clk) update = 0;
                $write("%0d %0d", in_sum, in_membrane);
                for (j = 0; j < NEURONS; j = j + 1) $write(" %0d", previous[s][j]);
                for (j = 0; j < NEURONS; j = j + 1)
                    $write(" %0d", $signed(membranes[j*MEMBRANE_BITS+:MEMBRANE_BITS]));
                $write("\n");
            end
        end
        $finish;
    end
endmodule

`default_nettype wire
