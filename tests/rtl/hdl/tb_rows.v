// Row bench: frames of spikes through zero_skip into SETS PE sets. Prints, per frame, the steps, the rows read, the
// saturated additions, and every accumulator.
//
// SHARED = 0: set k walks bank k of the inputs. STEPS = 1 is Type B; STEPS = 2 merges both time steps, the OR of
// the spikes decides the skip and their AND the shift by one (Type C).
// SHARED = 1: one walk over all inputs, set i serves time step i; a row is skipped where neither spikes. With
// SKIP = 0 every row is broadcast (Type D).
`default_nettype none

module tb_rows;
    parameter FRAMES = 1, INPUTS = 128, PES = 16, SETS = 2, STEPS = 1, ACC_BITS = 12, SHARED = 0, SKIP = 1;
    localparam W = 4, PLACE_BITS = 3;
    localparam WALKS = SHARED ? 1 : SETS;
    localparam WIDTH = (INPUTS + WALKS - 1) / WALKS;
    localparam ALL = WALKS * WIDTH;

    reg clk = 0;
    always #1 clk = ~clk;

    reg [PES*W-1:0] weights[0:ALL-1];
    reg [INPUTS-1:0] spikes[0:FRAMES*STEPS-1];
    reg load = 0;
    reg [ALL-1:0] first, second;
    wire [ALL-1:0] active = first | second, both = first & second, present = {INPUTS{1'b1}};
    wire [WALKS-1:0] valid;
    wire [SETS*PES*ACC_BITS-1:0] accumulators;
    wire [SETS*PES-1:0] saturates;
    integer t, s, j, n, steps, rows, saturations;

    genvar k;
    generate
        for (k = 0; k < WALKS; k = k + 1) begin : walk
            wire [7:0] row;
            zero_skip #(WIDTH, 8) unit(
                clk, load, SKIP == 1, active[k*WIDTH+:WIDTH], present[k*WIDTH+:WIDTH], valid[k], row);
        end
        for (k = 0; k < SETS; k = k + 1) begin : set
            localparam FROM = SHARED ? 0 : k;
            wire [31:0] address = FROM * WIDTH + walk[FROM].row;
            wire spike = SHARED ? (k == 0 ? first[address] : second[address]) : active[address];
            wire [PLACE_BITS-1:0] places = SHARED ? 0 : both[address];
            pe_set #(PES, W, ACC_BITS, PLACE_BITS) pes(
                clk, load, valid[FROM], spike, places, weights[address],
                accumulators[k*PES*ACC_BITS+:PES*ACC_BITS], saturates[k*PES+:PES]);
        end
    endgenerate

    initial begin
        $readmemh("weights.hex", weights, 0, INPUTS - 1);
        $readmemh("spikes.hex", spikes);
        for (t = 0; t < FRAMES; t = t + 1) begin
            @(negedge clk) load = 1;
            first = spikes[t*STEPS];
            second = STEPS == 2 ? spikes[t*STEPS+STEPS-1] : 0;
            @(negedge clk) load = 0;
            steps = 0;
            rows = 0;
            saturations = 0;
            #0;
            while (|valid) begin
                steps = steps + 1;
                for (n = 0; n < WALKS; n = n + 1) rows = rows + valid[n];
                for (n = 0; n < SETS * PES; n = n + 1) saturations = saturations + saturates[n];
                @(negedge clk) #0;
            end
            $write("%0d %0d %0d", steps, rows, saturations);
            for (s = 0; s < SETS; s = s + 1)
                for (j = 0; j < PES; j = j + 1)
                    $write(" %0d", $signed(accumulators[(s*PES+j)*ACC_BITS+:ACC_BITS]));
            $write("\n");
        end
        $finish;
    end
endmodule

`default_nettype wire
